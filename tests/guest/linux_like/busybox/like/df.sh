df . | head -1
