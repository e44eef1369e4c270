"""Which Python has the user's dbt, and the virtual environment that is made for it where none has."""
