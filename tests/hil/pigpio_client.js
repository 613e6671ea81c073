// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The Millrace contributors
//
// npm's pigpio-client: does what it is told on its standard input, `METHOD [NUMBER]...` a line of the GPIO whose number
// comes first, and says what came of it.

const readline = require('readline')
const pigpio = require('pigpio-client').pigpio({ host: '127.0.0.1', port: +process.argv[2] })
const gpios = {}

const say = (...words) => console.log(words.join(' '))

pigpio.on('error', (error) => say('error', error.code || error.message))
pigpio.once('connected', (info) => {
  say('connected', info.hwVersion, info.pigpioVersion)
  const input = readline.createInterface({ input: process.stdin })
  input.on('line', (line) => {
    const [number, method, ...words] = line.split(' ')
    const gpio = (gpios[number] = gpios[number] || pigpio.gpio(+number))
    const done = (error, ...results) => say(method, error ? error.code : results[0])
    const values = words.map((word) => (isNaN(word) ? word : +word))
    if (method === 'notify') {
      gpio.notify((level) => say('level', number, level))
      say('notify')
    } else {
      gpio[method](...values, done)
    }
  })
  input.on('close', () => pigpio.end(() => process.exit(0)))
})
