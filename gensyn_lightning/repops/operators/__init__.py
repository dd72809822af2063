"""What ATen's operators are made of, by family: shapes in, stages and kernels out."""
