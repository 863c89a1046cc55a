"""The recipe of the built-in voice; nothing else imports it."""
