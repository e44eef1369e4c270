"""What setup, triggers and workers share: the plan of a run, where it lies, its job ids, its outcomes. Pure."""
