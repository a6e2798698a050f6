"""`racer doctor`: checks of the machine before a participant sits down."""
