"""Values that cross a border: plain frozen Structs, no behaviour beyond their own shape."""
