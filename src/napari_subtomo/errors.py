"""The exception tree.

::

    SubtomoError                    one clear sentence for the user: expected, found, what to do
    ├── InputError                  something the user gave is wrong
    │   ├── FileMissingError        a named file or folder does not exist
    │   ├── FileFormatError         a file exists but its content is not what was expected
    │   ├── GeometryError           sizes, boxes or coordinates do not fit together
    │   └── OptionError             an option has an impossible value
    ├── JobError                    a job cannot start or go on
    │   └── JobCancelled            the user asked the job to stop
    └── DeviceError                 a GPU is missing, broken or out of memory
"""


class SubtomoError(Exception):
    """Base of all errors whose message is meant for the user."""


class InputError(SubtomoError):
    """Something the user gave is wrong."""


class FileMissingError(InputError):
    """A named file or folder does not exist."""


class FileFormatError(InputError):
    """A file exists, but its content is not what was expected."""


class GeometryError(InputError):
    """Sizes, boxes or coordinates do not fit together."""


class OptionError(InputError):
    """An option has an impossible value."""


class JobError(SubtomoError):
    """A job cannot start or go on."""


class JobCancelled(JobError):
    """The user asked the job to stop."""


class DeviceError(SubtomoError):
    """A GPU is missing, broken or out of memory."""
