"""The models as inference in NumPy: what a CPU runs, without importing torch."""
