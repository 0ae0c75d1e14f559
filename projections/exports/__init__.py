"""Stored events as the bytes of an export file, a module for each format.

``formats.FORMATS`` lists the formats. An export is ``head()`` of a new encoder, then ``encode()``
of each page of events in order, then ``tail()``. Its bytes depend on the stored events and on the
``Coverage`` alone: not on where the pages were cut, on a clock, or on a name that is looked up when
the export is made. The same range gives the same bytes, always.
"""
