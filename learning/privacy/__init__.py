"""What leaves a client: noise with an accountant, private local steps, and the audit that looks for leaks before anybody else can."""
