"""The configuration: its schema, how it is found and loaded, and the small languages of its values.

Import ``gatepost.config.schema`` for the model and ``gatepost.config.load`` to read a file: both need pydantic, so this
package imports neither by itself, and ``gatepost --help`` stays fast.
"""
