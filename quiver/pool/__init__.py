"""The pool: pure tables that decide, and the actors around them that do."""
