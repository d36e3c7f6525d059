"""The whole stack in containers: its secrets, its images, and Compose. Standard library only."""
