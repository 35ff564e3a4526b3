set -e
install -d -o someone /home/someone
su someone -c 'test "$(id -u)" = 1234 && echo x > ~/own && cat ~/own && chmod 600 ~/own && mv ~/own ~/other && rm ~/other && cat /etc/passwd > /dev/null'
