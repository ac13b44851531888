def write_comparison(*a):
    raise NotImplementedError
