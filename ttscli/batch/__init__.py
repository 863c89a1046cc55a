"""Many texts into many files: read, planned, spoken side by side, and resumed."""
