"""Playing policies on tasks: the roll-out loop and its workers."""
