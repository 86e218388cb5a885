"""Which training images show what an evaluation set asks about: candidates, geometry, evidence."""
