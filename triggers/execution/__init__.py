"""Carry out the plan of a task's nodes: their order, their steps, their outcome."""
