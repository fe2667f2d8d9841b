"""What the process that renders chat templates runs; see process.py. It knows nothing of the rest of ggtui, and its
files import one another by relative names, so that it starts quickly and has little that a template could reach."""
