"""The measurements; what each metric means is said where it is recorded."""
