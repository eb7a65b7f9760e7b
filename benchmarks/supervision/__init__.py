"""ATOLL beside supervisord, circus and pm2: the same child, the same client, one run."""
