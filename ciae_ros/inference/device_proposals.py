propose_on_device = None
