"""What is served: each module is an app, set up by the environment alone."""
