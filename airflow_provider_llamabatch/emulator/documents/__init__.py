"""What is in an upload, and what parse and extract jobs make of it."""
