"""How each protocol asks for the upgrade, and how it grants it: one short file a protocol, two halves in each.

``table`` lists them; ``recipe`` says what a recipe is. docs/adding-a-protocol.md shows how one is added.
"""
