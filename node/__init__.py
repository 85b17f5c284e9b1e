"""One participant: protocol core, roles, ports, adapters, hosts, driver, audit and command line."""
