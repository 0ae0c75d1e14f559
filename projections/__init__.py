"""What is shown of the log: all of it can be deleted and derived from the events again."""
