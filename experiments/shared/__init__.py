"""What several kinds of experiments use: pages, files, stores, grids, executors, engine settings."""
