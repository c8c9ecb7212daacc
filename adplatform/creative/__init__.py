"""The Creative agent: copy, guidelines, scores."""
