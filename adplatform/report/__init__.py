"""Reports for people: the plan in a terminal, and report.html for a marketer."""
