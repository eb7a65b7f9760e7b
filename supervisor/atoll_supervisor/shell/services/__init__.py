"""What services need of files and networks: recipes on disk, records, the servers themselves."""
