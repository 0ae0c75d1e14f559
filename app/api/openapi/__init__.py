"""The OpenAPI 3.1 description: operations, headers, and the document that holds them."""
