"""What the agent's server costs by itself: chats in one piece, with a model that takes no time."""
