"""The models as a GPU runs them: captured steps, half precision, fused kernels."""
