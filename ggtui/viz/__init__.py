"""Everything that shows something to a person."""
