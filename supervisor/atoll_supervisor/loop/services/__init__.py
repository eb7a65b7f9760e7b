"""Services at work: one loop that owns their records, and the engines that run them."""
