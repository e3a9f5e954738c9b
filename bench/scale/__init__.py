"""How a deploy grows with the number of hosts: a real deployer, hosts that are simulated."""
