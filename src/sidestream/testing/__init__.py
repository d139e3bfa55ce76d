"""Published test doubles: far sides for tests of Sidestream and of what is built around it."""
