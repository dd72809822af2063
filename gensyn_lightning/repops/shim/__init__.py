"""Between torch's dispatcher and the kernels, in C++: a call whose plan is known costs little."""
