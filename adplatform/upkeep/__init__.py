"""What an operator does about what happened online: explain a decision, keep the log small and safe, forget a person."""
