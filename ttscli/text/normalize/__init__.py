"""The normaliser: figures, signs and capitals to the words that people say for them."""

from ttscli.text.normalize.scanner import Normaliser

__all__ = ["Normaliser"]
