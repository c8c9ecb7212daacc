"""A marketer's sentence, understood by libraries, word lists and embeddings. What it does not say is never guessed."""
