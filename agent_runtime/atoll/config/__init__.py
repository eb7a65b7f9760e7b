"""Files that people write, read into frozen Structs; every mistake is told with its place."""
