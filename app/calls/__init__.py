"""What calls run: which version each one was told to run, and the receipts of that."""
