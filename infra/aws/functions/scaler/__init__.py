"""The scheduled function that starts and ends browser nodes on AWS: standard library and boto3 alone."""
