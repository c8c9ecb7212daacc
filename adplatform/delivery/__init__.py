"""Budget allocation and pacing."""
