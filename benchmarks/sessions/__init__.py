"""What sessions cost, and whether kill -9 loses anything of them."""
