"""The rules every party follows: values in, values out."""
