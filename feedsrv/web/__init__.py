"""The Flask application: views, response cache, authentication, pages."""
