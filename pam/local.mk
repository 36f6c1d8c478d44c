# pam
